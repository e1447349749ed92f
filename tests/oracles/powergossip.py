"""PowerGossip with one object per worker, which holds a dictionary of state for each neighbour and exchanges lists.

Written from the paper's Algorithm 2: no edge numbers, no batches, Gram and Schmidt in place of QR, each end keeping its own copy of all that the two
ends share. Of netsim it takes the edges' random streams alone.
"""

import math

import numpy as np

from netsim.device import make_key


def gram_schmidt(v):
    """Return the columns of v made orthonormal, twice over for accuracy; the zero matrix as it is."""
    if not v.any():
        return v
    basis = []
    for column in v.T:
        for _ in range(2):
            column = column - sum((np.dot(column, b) * b for b in basis), np.zeros_like(column))
            column = column / math.sqrt(math.fsum(column**2))
        basis.append(column)
    return np.stack(basis, axis=1)


def drawn(uniform, lengths, longest, ranks):
    """Cut one edge's numbers into the vectors of its matrices: longest · rank numbers are set aside for each, row after row, length rows are used."""
    radius, angle = uniform
    normal = [math.sqrt(-2 * math.log(1 - a)) * math.cos(2 * math.pi * b) for a, b in zip(radius, angle, strict=True)]
    found = []
    for length, full, rank in zip(lengths, longest, ranks, strict=True):
        mine, normal = normal[: full * rank], normal[full * rank :]
        found.append(gram_schmidt(np.reshape(mine, (full, rank))[:length]))
    return found


class Worker:
    """One worker: its tensors by name, and for each neighbour the vectors of every matrix and the side on which they multiply."""

    def __init__(self, number, tensors, neighbours):
        self.number, self.tensors, self.weights = number, tensors, neighbours
        self.vector = {other: {} for other in neighbours}
        self.turn = {other: {} for other in neighbours}  # "right": X q; "left": Xᵀ q
        self.heard, self.sent_numbers = {}, 0

    def matrix(self, name):
        return self.tensors[name].reshape(self.tensors[name].shape[0], -1)

    def letter(self, other, with_vectors):
        words = {}
        for name, tensor in self.tensors.items():
            if tensor.ndim >= 2:
                own = self.matrix(name) if self.turn[other][name] == "right" else self.matrix(name).T
                words[name] = own @ self.vector[other][name]
            elif with_vectors:
                words[name] = tensor.copy()
        self.sent_numbers += sum(word.size for word in words.values())
        return words

    def read(self, said, gamma, moves):
        """Take what the neighbours wrote; return the tensors after it."""
        after = {name: tensor.copy() for name, tensor in self.tensors.items()}
        for other, words in self.heard.items():
            weight = self.weights[other]
            for name, word in words.items():
                if self.tensors[name].ndim < 2:
                    after[name] += weight * (word - self.tensors[name])
                    continue
                mine = said[other][name]
                v = word - mine if other > self.number else mine - word  # larger minus smaller
                towards = 1 if other > self.number else -1
                q = self.vector[other][name]
                if moves:
                    outer = v @ q.T if self.turn[other][name] == "right" else q @ v.T
                    after[name] += (gamma * weight * towards * outer).reshape(after[name].shape)
                if v.any():
                    self.vector[other][name] = gram_schmidt(v)
                    self.turn[other][name] = "left" if self.turn[other][name] == "right" else "right"
        self.tensors = after


def powergossip(task, graph, algorithm, rounds, lr, seed=0, momentum=0.0):
    """Return ((rounds + 1, n, P) models, (rounds, n) numbers sent) of training with momentum on a bound float64 task."""
    n, edges = graph.n, [tuple(edge) for edge in graph.edges.tolist()]
    shapes = dict(task.tensors)
    names = [name for name, shape in shapes.items() if len(shape) >= 2]
    sizes = {name: (shapes[name][0], math.prod(shapes[name][1:])) for name in names}
    ranks = [min(algorithm.rank, *sizes[name]) for name in names]
    longest = [max(sizes[name]) for name in names]

    def split(row):
        parts, start = {}, 0
        for name, shape in shapes.items():
            size = math.prod(shape)
            parts[name] = row[start : start + size].reshape(shape).copy()
            start += size
        return parts

    def together():
        return np.stack([np.concatenate([t.ravel() for t in worker.tensors.values()]) for worker in workers])

    def draw(purpose, t):
        key = make_key(seed, f"edge {purpose}", len(edges), t)
        total = sum(full * rank for full, rank in zip(longest, ranks, strict=True))
        radius, angle = key.uniform(total), key.uniform(total, draw=1)
        for e, pair in enumerate(edges):
            for i, j in (pair, pair[::-1]):
                lengths = [sizes[name][1 if workers[i].turn[j][name] == "right" else 0] for name in names]
                vectors = drawn((radius[e], angle[e]), lengths, longest, ranks)
                workers[i].vector[j] = dict(zip(names, vectors, strict=True))

    first = np.asarray(task.initial(seed), dtype=float)
    workers = []
    for i in range(n):
        weights = {j: graph.weights[i, j] for pair in edges if i in pair for j in pair if j != i}
        workers.append(Worker(i, split(first), weights))
        for other in weights:
            workers[i].turn[other] = dict.fromkeys(names, "right")
    draw("PowerGossip start", 0)

    models, sent, velocity = [together()], [], None
    for t in range(rounds):
        grad = task.gradient(together(), t)[1]
        velocity = grad.copy() if velocity is None else momentum * velocity + grad
        if not algorithm.overlap:
            for i, row in enumerate(together()):
                workers[i].tensors = split(row - lr * velocity[i])
        before = [worker.sent_numbers for worker in workers]
        for s in range(algorithm.iterations):
            if not algorithm.warm_start:
                draw(f"PowerGossip {s}", t)
            letters = {i: {j: worker.letter(j, s == 0) for j in worker.weights} for i, worker in enumerate(workers)}
            for i, worker in enumerate(workers):
                worker.heard = {j: letters[j][i] for j in worker.weights}
            for i, worker in enumerate(workers):
                moves = algorithm.apply == "each" or s == algorithm.iterations - 1
                worker.read(letters[i], algorithm.gamma, moves)
        if algorithm.overlap:
            for i, row in enumerate(together()):
                workers[i].tensors = split(row - lr * velocity[i])
        sent.append([worker.sent_numbers - b for worker, b in zip(workers, before, strict=True)])
        models.append(together())
    return np.stack(models), np.array(sent)


def powersgd(task, n, algorithm, rounds, lr, seed=0):
    """Return (rounds + 1, P) models of PowerSGD on a task, float64: every worker keeps its own memory, and one model serves all."""
    shapes = dict(task.tensors)
    big = {name: (shape[0], math.prod(shape[1:])) for name, shape in shapes.items() if len(shape) >= 2}
    rank = {name: min(algorithm.rank, *size) for name, size in big.items()}
    key = make_key(seed, "PowerSGD start", 1)
    total = sum(columns * rank[name] for name, (_, columns) in big.items())
    radius, angle = key.uniform(total)[0], key.uniform(total, draw=1)[0]
    normal = [math.sqrt(-2 * math.log(1 - a)) * math.cos(2 * math.pi * b) for a, b in zip(radius, angle, strict=True)]
    q = {}
    for name, (_, columns) in big.items():
        q[name] = np.reshape(normal[: columns * rank[name]], (columns, rank[name]))
        normal = normal[columns * rank[name] :]
    memory = [{name: np.zeros(size) for name, size in big.items()} for _ in range(n)]
    x, momentum, found = np.asarray(task.initial(seed), dtype=float), 0.0, []
    for t in range(rounds):
        found.append(x)
        grads = task.gradient(np.tile(x, (n, 1)), t)[1]
        step, start = [], 0
        for name, shape in shapes.items():
            parts = [row[start : start + math.prod(shape)] for row in grads]
            start += math.prod(shape)
            if name not in big:
                step.append(sum(parts) / n)
                continue
            pushed = [part.reshape(big[name]) + kept[name] for part, kept in zip(parts, memory, strict=True)]
            p = gram_schmidt(sum(m @ q[name] for m in pushed) / n)
            q[name] = sum(m.T @ p for m in pushed) / n
            for kept, m in zip(memory, pushed, strict=True):
                kept[name] = m - p @ q[name].T  # all subtract what all add: the other reading of the paper's line
            step.append((p @ q[name].T).ravel())
        delta = np.concatenate(step)
        momentum = algorithm.momentum * momentum + delta
        x = x - lr * (delta + momentum if algorithm.momentum else delta)
    return np.stack([*found, x])
