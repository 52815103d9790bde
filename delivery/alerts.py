"""x"""


def send_one() -> bool:
    return False
