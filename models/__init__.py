"""Learning tasks: models batched over workers, their gradients, data sets and partitions."""

from netsim.models.cnn import CNN
from netsim.models.data.datasets import Dataset, a9a, cifar10, digits, load, mnist, w8a
from netsim.models.data.olivetti import olivetti
from netsim.models.data.wikitext import Corpus, wikitext2
from netsim.models.language import LanguageModel
from netsim.models.least_squares import LeastSquares
from netsim.models.mlp import MLP
from netsim.models.resnet import ResNet, resnet18, resnet20
from netsim.models.softmax import SoftmaxRegression

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
