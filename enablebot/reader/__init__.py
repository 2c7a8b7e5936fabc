"""The child process that reads documents: it opens files of strangers, and can reach nothing else."""
