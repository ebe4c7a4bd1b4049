"""One thin module per DVC stage: a section of params.yaml, one library call, outputs and a metrics file."""
