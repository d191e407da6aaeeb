"""Who does which part of the rows: threads of one process. Only this package starts threads."""
