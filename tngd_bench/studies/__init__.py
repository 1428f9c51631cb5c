"""Study files, the trials they unroll to, their execution in worker processes, and the store of results."""
