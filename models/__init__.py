"""What is learned: models batched over workers, their gradients, data sets and partitions."""

from models.datasets import Dataset, cifar10, digits, load, mnist
from models.least_squares import LeastSquares
from models.mlp import MLP
from models.olivetti import olivetti
from models.softmax import SoftmaxRegression

__all__ = ["MLP", "Dataset", "LeastSquares", "SoftmaxRegression", "cifar10", "digits", "load", "mnist", "olivetti"]
