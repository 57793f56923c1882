"""Does a Django site send by portmail as it did before, and what does it get beside?"""
