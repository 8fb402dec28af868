"""Store errors: apart from the store, whose library is imported where there is a store alone."""


class StoreError(Exception):
    """The store cannot be used, or has other content; str() is one line without secrets."""


class OtherContentError(StoreError):
    """The store has a file of this name with other content."""
