"""focal carries a spoken message over any link, however thin."""
