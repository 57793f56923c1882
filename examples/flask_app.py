"""A Flask application that mails. What is written for Flask-Mail needs another import, and no more.

PORTMAIL_URL=submission://me%40example.com@mail.example.com
PORTMAIL_PASSWORD_FILE=/run/secrets/mail
flask --app flask_app portmail check
flask --app flask_app run
"""

from flask import Flask, request

import portmail
from portmail.integrations.flask import Mail, Message

app = Flask(__name__)
app.config["MAIL_DEFAULT_SENDER"] = ("Example", "hello@example.com")
mail = Mail(app)


@app.post("/invitations")
def invite() -> tuple[dict[str, str], int]:
    message = Message("Welcome", recipients=[request.form["address"]], body="Good to have you here.\n")
    try:
        mail.send(message)
    except portmail.AddressError as error:
        return {"error": str(error)}, 400
    except portmail.InDoubt:
        return {"error": "it may have been sent: do not send it again without asking"}, 500
    except portmail.DeliveryError as error:
        return {"error": "it was not sent"}, 503 if error.temporary else 502
    return {"sent": message.msgId}, 201
