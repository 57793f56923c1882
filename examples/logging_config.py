"""A program whose errors are mailed, in the usual configuration of `logging`.

PORTMAIL_URL=submission://web1%40example.com@mail.example.com PORTMAIL_PASSWORD_FILE=/run/secrets/mail \
    python logging_config.py ops@example.org
"""

import logging
import logging.config
import sys

log = logging.getLogger("shop.orders")


def configure(recipient: str) -> None:
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {
                "console": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"},
                "mail": {
                    "class": "portmail.integrations.logging.MailHandler",
                    "level": "ERROR",
                    "to": [recipient],
                    "sender": "Web 1 <web1@example.com>",
                    "subject": "[shop] {levelname}: {first_line}",
                    "flush_interval": 300,
                },
            },
            "root": {"level": "INFO", "handlers": ["console", "mail"]},
        }
    )


def main(recipient: str) -> int:
    configure(recipient)
    for number in range(4711, 4721):
        log.info("order %d is being charged", number)
        try:
            raise TimeoutError("the bank did not answer")
        except TimeoutError:
            log.exception("order %d was not charged", number)
    return 0  # one mail goes out now, with all ten


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
