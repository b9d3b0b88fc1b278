"""The contract: input schemas (marshmallow) and documented answers (shapes)."""
