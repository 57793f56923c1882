"""An async application: one submitter for as long as it lives, used by many tasks.

PORTMAIL_URL=submission://me:secret@mail.example.com python async_app.py ann@example.org bob@example.org
"""

import asyncio
import sys

import portmail


async def welcome(mail: portmail.AsyncSubmitter, address: str) -> str:
    try:
        message = portmail.compose(
            to=address,
            subject="Welcome",
            text="It is good to have you here.\n",
            html="<p>It is <b>good</b> to have you here.</p>",
            sender="Example <hello@example.com>",
        )
        receipt = await mail.send(message)
    except portmail.AddressError as error:
        return f"{address}: {error}"
    except portmail.InDoubt:
        return f"{address}: may have arrived; do not send again without asking"
    except portmail.DeliveryError as error:
        return f"{address}: {'later' if error.temporary else 'never'}: {error}"
    return f"{address}: accepted as {receipt.message_id}"


async def main(addresses: list[str]) -> None:
    async with portmail.AsyncSubmitter.from_env() as mail:
        for line in await asyncio.gather(*(welcome(mail, address) for address in addresses)):
            print(line)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
