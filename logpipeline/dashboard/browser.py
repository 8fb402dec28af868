"""Browser: questions to one."""

from nicegui import Client

PATIENCE = 10.0  # seconds for an answer before the question is repeated


async def ask(client: Client, code: str) -> object:
    """The browser's answer to JavaScript `code`; None once the tab is closed."""
    while not client.is_deleted:
        try:
            return await client.run_javascript(code, timeout=PATIENCE)
        except TimeoutError:
            continue
    return None
