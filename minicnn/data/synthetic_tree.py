"""The family tree of the synthetic plankton: its shape, its traits and the names of its species.

Real classes resemble each other because they are related. Here the relation comes first: a tree is drawn at
random, traits drift along its branches, and what reaches the tips decides what a class looks like
(`synthetic_body`). So the *true* tree is known, and a clustering of classes found in learned features can be
scored against it.

    age 1                root                 traits (0, 0, ...)
                   .------+------.
    age 0.6        A             |            + sqrt(0.4) * noise
              .----+---.         |
    age 0     0        1         2            class traits: variance 1 each

*The tree* is that of a pure-birth (Yule) process: every lineage splits at the same rate. Seen backwards from
today, with k lineages left, two of them taken at random meet after an exponential waiting time of rate k.
All tips are equally far from the root (the tree is ultrametric), and the root has age 1.

*The traits* follow Brownian motion: over a branch of length l a trait changes by a normal step of variance l.
Two classes whose last common ancestor has age a therefore differ by 2 a of squared distance per trait, in
expectation. Some traits, here the body plans, are old: their rate falls with the age (an "early burst"), from
2 at the root to 0 today. A branch between ages p and q has variance p^2 - q^2 for them, and the relatives
above differ by 2 a^2: close relatives nearly always share a body plan, as copepods do.

Sources: G. U. Yule (1925), "A mathematical theory of evolution"; J. Felsenstein (1985), "Phylogenies and the
comparative method" (Brownian motion along branches); L. J. Harmon et al. (2010), "Early bursts of body size
and shape evolution are rare in comparative data" (the falling rate).
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_CLASSES = 121
# Species share a genus when their last common ancestor is younger: about 50 genera of 121 species.
GENUS_AGE = 0.22

_STEMS = ("Acan", "Brev", "Cal", "Cera", "Chae", "Clad", "Clio", "Cory", "Cyclo", "Dolio", "Echi", "Euche",
          "Frit", "Gono", "Hali", "Lepto", "Limno", "Lucen", "Meso", "Micro", "Nanno", "Oithe", "Onco",
          "Para", "Pelo", "Pleuro", "Radio", "Rhizo", "Sagi", "Sapho", "Siphe", "Solmu", "Temo", "Thalo",
          "Tomo", "Undi", "Velo")
_ENDINGS = ("calia", "cella", "ceras", "dina", "lanus", "lepis", "leura", "mma", "nella", "nema", "nia",
            "phora", "pleura", "ria", "soma", "stoma", "teuthis", "theca", "thrix", "tropis")
_EPITHET_STEMS = ("acu", "albi", "arcti", "brevi", "clari", "cristi", "delica", "elega", "flavi", "gemi",
                  "graci", "hyali", "laevi", "longi", "luci", "minu", "niti", "pelagi", "pelluci", "puncti",
                  "robu", "seti", "spini", "tenui", "tranqui", "undula", "vagi", "vitri")
_EPITHET_ENDINGS = ("cauda", "ceps", "color", "cornis", "dens", "formis", "fera", "lis", "nata", "pes",
                    "rostris", "ta", "tula", "ventris")


@dataclass(frozen=True)
class Phylogeny:
    """A dated, ultrametric, binary tree with the traits of its leaves. Grow it with `grow_tree`.

    Nodes 0 ... n-1 are the leaves, in the order of the class labels; n ... 2n-2 are the ancestors from the
    youngest to the root, which is last.

    Attributes
    ----------
    parents : int64 array, shape (2n-1,)
        Parent of each node; -1 for the root.
    ages : float64 array, shape (2n-1,)
        Age of each node: 0 for leaves, 1 for the root.
    branch_lengths : float64 array, shape (2n-1,)
        ``ages[parent] - ages[node]``; 0 for the root.
    traits : float64 array, shape (n, n_traits)
        Traits of the leaves.
    names : tuple of str
        Names of the leaves.
    """

    parents: np.ndarray
    ages: np.ndarray
    branch_lengths: np.ndarray
    traits: np.ndarray
    names: tuple[str, ...]

    def linkage(self) -> np.ndarray:
        """Return the tree as a linkage matrix of ``scipy.cluster.hierarchy``.

        Returns
        -------
        float64 array, shape (n-1, 4)
            Row j joins nodes ``[0]`` and ``[1]`` into node n + j at age ``[2]``, with ``[3]`` leaves below
            it.

        Examples
        --------
        >>> from scipy.cluster.hierarchy import is_valid_linkage
        >>> bool(is_valid_linkage(grow_tree(5, n_traits=1, n_old=0, seed=0).linkage()))
        True
        """
        n = len(self.names)
        rows = np.zeros((n - 1, 4))
        leaves_below = np.ones(2 * n - 1)
        for node in range(n, 2 * n - 1):
            left, right = np.flatnonzero(self.parents == node)
            leaves_below[node] = leaves_below[left] + leaves_below[right]
            rows[node - n] = left, right, self.ages[node], leaves_below[node]
        return rows

    def cophenetic(self) -> np.ndarray:
        """Return the age of the last common ancestor of every two leaves.

        Returns
        -------
        float64 array, shape (n, n)
            Symmetric, 0 on the diagonal. The path from leaf to leaf along the branches is twice as long.

        Examples
        --------
        >>> distances = grow_tree(5, n_traits=1, n_old=0, seed=0).cophenetic()
        >>> distances.shape, float(distances.max())
        ((5, 5), 1.0)
        """
        n = len(self.names)
        ages = np.zeros((n, n))
        below = [np.array([leaf]) for leaf in range(n)]
        for left, right in self.linkage()[:, :2].astype(int):
            age = self.ages[len(below)]
            ages[np.ix_(below[left], below[right])] = age
            ages[np.ix_(below[right], below[left])] = age
            below.append(np.concatenate([below[left], below[right]]))
        return ages

    def newick(self) -> str:
        """Return the tree in Newick format, with branch lengths; blanks in names become underscores.

        Examples
        --------
        >>> text = grow_tree(2, n_traits=1, n_old=0, seed=0).newick()
        >>> text.startswith("(") and text.endswith(":1);")
        True
        """
        clades = [name.replace(" ", "_") for name in self.names]
        for left, right in self.linkage()[:, :2].astype(int):
            two = (f"{clades[child]}:{self.branch_lengths[child]:.6g}" for child in (left, right))
            clades.append(f"({','.join(two)})")
        return clades[-1] + ";"


def grow_tree(n_classes: int, n_traits: int, n_old: int, seed: int) -> Phylogeny:
    """Draw a Yule tree and let `n_traits` traits drift along it.

    Parameters
    ----------
    n_classes : int
        Number of leaves, 2 to 121.
    n_traits : int
        Number of independent Brownian traits; each starts at 0 in the root and has variance 1 at the leaves.
    n_old : int
        How many of them, the first ones, change early.
    seed : int
        Not negative.

    Returns
    -------
    Phylogeny

    Raises
    ------
    ValueError
        Number of classes or seed out of range.

    Examples
    --------
    >>> tree = grow_tree(3, n_traits=2, n_old=1, seed=0)
    >>> tree.parents.tolist()[-1], tree.ages[:3].tolist(), tree.traits.shape
    (-1, [0.0, 0.0, 0.0], (3, 2))
    """
    if not 2 <= n_classes <= MAX_CLASSES:
        raise ValueError(f"n_classes={n_classes}: the synthetic set has 2 to {MAX_CLASSES} classes")
    if seed < 0:
        raise ValueError(f"seed={seed}: expected an integer not less than 0")
    tree_rng, trait_rng, name_rng = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3))

    n_nodes = 2 * n_classes - 1
    parents = np.full(n_nodes, -1)
    ages = np.zeros(n_nodes)
    alive = list(range(n_classes))
    for node in range(n_classes, n_nodes):
        ages[node] = ages[node - 1] + tree_rng.exponential(1 / len(alive))
        for _ in range(2):
            parents[alive.pop(tree_rng.integers(len(alive)))] = node
        alive.append(node)
    ages /= ages[-1]
    branch_lengths = np.append(ages[parents[:-1]] - ages[:-1], 0.0)

    variances = np.repeat(branch_lengths[:, None], n_traits, axis=1)                   # (nodes, traits)
    variances[:-1, :n_old] = (ages[parents[:-1]] ** 2 - ages[:-1] ** 2)[:, None]
    steps = trait_rng.standard_normal((n_nodes, n_traits)) * np.sqrt(variances)
    traits = np.zeros((n_nodes, n_traits))
    for node in range(n_nodes - 2, -1, -1):  # a parent's number is larger than its children's
        traits[node] = traits[parents[node]] + steps[node]
    return Phylogeny(parents, ages, branch_lengths, traits[:n_classes],
                     _binomials(parents, ages, n_classes, name_rng))


def _binomials(parents: np.ndarray, ages: np.ndarray, n_classes: int,
               rng: np.random.Generator) -> tuple[str, ...]:
    """Return an invented Latin-like name for each leaf; late splits (see `GENUS_AGE`) share the genus."""
    genera = [a + b for a in _STEMS for b in _ENDINGS]
    epithets = [a + b for a in _EPITHET_STEMS for b in _EPITHET_ENDINGS]
    rng.shuffle(genera)
    rng.shuffle(epithets)
    names: list[str] = []
    genus_of: dict[int, str] = {}
    for leaf in range(n_classes):
        founder = leaf
        while parents[founder] >= 0 and ages[parents[founder]] < GENUS_AGE:
            founder = parents[founder]
        genus = genus_of.setdefault(int(founder), genera[len(genus_of)])
        names.append(f"{genus} {epithets[leaf]}")
    return tuple(names)
