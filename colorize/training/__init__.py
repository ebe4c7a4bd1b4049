"""Training of one network: the loop, its checkpoints, its log and the identity of a run."""
