"""One thin module per DVC stage: a section of params.yaml, one library call, outputs and a metrics file."""

import os

# Arrow's own allocator keeps what it once had: of 8 MiB in use at a time it made 150 MiB after 100,000 rows. Read when
# pyarrow is imported, here and in the worker processes.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
