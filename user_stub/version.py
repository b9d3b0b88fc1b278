"""The version of the user service."""

VERSION = "0.1.0"
