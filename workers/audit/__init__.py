"""The audit: people accept, correct or refuse a sample of the clean pairs."""
