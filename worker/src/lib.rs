//! Executes jobs: claims them from the queue and moves the data between two agents
