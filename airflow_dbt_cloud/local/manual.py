"""stub."""

DESCRIPTION = "x"
ASSUMPTIONS = "y"
