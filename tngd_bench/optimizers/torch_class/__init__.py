"""Any `torch.optim.Optimizer`, by the name of its class."""
