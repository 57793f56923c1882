"""What does this site add to `manage.py`?"""
