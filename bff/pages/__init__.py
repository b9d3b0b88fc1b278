"""The pages: each has `plan` (which calls to make) and `assemble` (outcomes to page), both pure."""
