"""Every layer, loss and optimiser in plain NumPy, float64: the readable definition that all frameworks must meet.

layers.py      forward and backward of each layer
losses.py      the two losses
optimizers.py  SGD, Adam, AdamW with decay and L1
backend.py     all of it behind the contract, as the backend "numpy"
"""
