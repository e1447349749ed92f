"""What is learned: models batched over workers, their gradients, data sets and partitions."""

from models.cnn import CNN
from models.datasets import Dataset, a9a, cifar10, digits, load, mnist, w8a
from models.language import LanguageModel
from models.least_squares import LeastSquares
from models.mlp import MLP
from models.olivetti import olivetti
from models.resnet import ResNet, resnet18, resnet20
from models.softmax import SoftmaxRegression
from models.wikitext import Corpus, wikitext2

__all__ = [
    "CNN",
    "MLP",
    "Corpus",
    "Dataset",
    "LanguageModel",
    "LeastSquares",
    "ResNet",
    "SoftmaxRegression",
    "a9a",
    "cifar10",
    "digits",
    "load",
    "mnist",
    "olivetti",
    "resnet18",
    "resnet20",
    "w8a",
    "wikitext2",
]
