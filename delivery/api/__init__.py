"""The API of runs, the inbox, receipts."""
