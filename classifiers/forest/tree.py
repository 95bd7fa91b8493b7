"""One decision tree as five short arrays, and the walk through it in plain Python.

A node is 16 bytes, so that one cache line of 64 holds four, and the two children of a split are neighbours:
one index finds both, and the one that a row does not go to has usually come with the same cache line.

=========  =======  ============================================  ==============================================
field      type     in a split                                    in a leaf
=========  =======  ============================================  ==============================================
feature    int32    the feature that is asked for, >= 0           -1
threshold  float32  go left if x[feature] <= threshold            total weight of the leaf's samples
child      int32    the left child; child + 1 is the right one    < 0: pure, of class -1 - child;
                                                                  >= 0: k, the number of an impure leaf
samples    int32    distinct training samples in the node         likewise
=========  =======  ============================================  ==============================================

The classes of impure leaf k are ``leaf_class[leaf_start[k]:leaf_start[k + 1]]``, ascending, and their weights
stand at the same places of `leaf_weight`. ``missing_left[node]`` says where a missing value (NaN) goes.

Example: the tree that `classifiers.forest.growing` grows by hand, stopped at depth 2::

    node  feature  threshold  child  samples
      0       0        2.5       1       5          x[0] <= 2.5 ?  yes: node 1, no: node 2
      1      -1        2        -1       2          pure leaf of class 0, weight 2
      2       0        3.5       3       3
      3      -1        1        -2       1          pure leaf of class 1, weight 1
      4      -1        2         0       2          impure leaf 0:  leaf_start  [0, 2]
                                                                    leaf_class  [0, 1]
                                                                    leaf_weight [1, 1]

Why is there no vector of class probabilities in every node, as in other libraries? With the 121 classes of
plankton such a vector of float64 takes 968 bytes a node, sixty times the node itself, and nearly all of it is
zeros: a tree grown to the end has pure leaves, and of a split nobody asks for probabilities. The paper's
authors name the memory of their forest as its limit. What is left out can be had from the leaves on request:
`Tree.value` adds them up.

A child has a larger number than its parent. Walking over the nodes in order therefore meets parents first
(depths), and backwards children first (class weights), without recursion.

Source: Breiman, Friedman, Olshen and Stone 1984, Classification and regression trees.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

NODE = np.dtype([("feature", "<i4"), ("threshold", "<f4"), ("child", "<i4"), ("samples", "<i4")])


class Tree:
    """A grown tree: its arrays, and scikit-learn's names (those of its ``tree_``) for what they hold.

    Parameters
    ----------
    nodes : array (node_count,) of NODE
        Node 0 is the root.
    missing_left : array (node_count,) uint8
        1 where a missing value goes to the left child; 0 in leaves.
    leaf_start : array (impure leaves + 1,) integer
        Where the classes of each impure leaf begin; see the table on this page.
    leaf_class : array (leaf_start[-1],) int32
    leaf_weight : array (leaf_start[-1],) float32
    n_classes : int
    n_features : int

    Notes
    -----
    The arrays are kept, not copied: the trees of a forest are views of its arrays.

    Examples
    --------
    >>> import numpy as np
    >>> nodes = np.array([(0, 2.5, 1, 5), (-1, 2, -1, 2), (-1, 3, 0, 3)], NODE)
    >>> tree = Tree(nodes, np.zeros(3, np.uint8), np.array([0, 2]), np.array([0, 1], np.int32),
    ...             np.array([1, 2], np.float32), n_classes=2, n_features=1)
    >>> tree.apply([[1.0], [4.0]])
    array([1, 2])
    >>> tree.predict_proba([[1.0], [4.0]]).round(3)
    array([[1.   , 0.   ],
           [0.333, 0.667]])
    >>> tree.value.round(3)
    array([[0.6  , 0.4  ],
           [1.   , 0.   ],
           [0.333, 0.667]])
    """

    def __init__(self, nodes: Any, missing_left: Any, leaf_start: Any, leaf_class: Any, leaf_weight: Any,
                 n_classes: int, n_features: int):
        self.nodes = nodes
        self.missing_left = missing_left
        self.leaf_start = leaf_start
        self.leaf_class = leaf_class
        self.leaf_weight = leaf_weight
        self.n_classes = int(n_classes)
        self.n_features = int(n_features)

    def __repr__(self) -> str:
        return f"Tree(node_count={self.node_count}, n_leaves={self.n_leaves}, max_depth={self.max_depth})"

    # ------------------------------------------------------------------------------------- its shape

    @property
    def node_count(self) -> int:
        """Splits and leaves."""
        return len(self.nodes)

    @property
    def _is_leaf(self) -> Any:
        return self.nodes["feature"] < 0                                    # (node_count,)

    @property
    def n_leaves(self) -> int:
        """Leaves, pure or not."""
        return int(self._is_leaf.sum())

    @property
    def max_depth(self) -> int:
        """Splits on the longest way from the root to a leaf; 0 if the root is a leaf."""
        depth = np.zeros(self.node_count, np.int64)
        for node, (feature, _, child, _) in enumerate(self.nodes.tolist()):
            if feature >= 0:
                depth[child:child + 2] = depth[node] + 1
        return int(depth.max())

    @property
    def feature(self) -> Any:
        """Feature of each split, int64 (node_count,); -2 in leaves, as scikit-learn has it."""
        return np.where(self._is_leaf, -2, self.nodes["feature"].astype(np.int64))

    @property
    def threshold(self) -> Any:
        """Threshold of each split, float64 (node_count,); -2 in leaves."""
        return np.where(self._is_leaf, -2.0, self.nodes["threshold"].astype(np.float64))

    @property
    def children_left(self) -> Any:
        """Left child of each split, int64 (node_count,); -1 in leaves."""
        return np.where(self._is_leaf, -1, self.nodes["child"].astype(np.int64))

    @property
    def children_right(self) -> Any:
        """Right child of each split, int64 (node_count,); -1 in leaves."""
        return np.where(self._is_leaf, -1, self.nodes["child"].astype(np.int64) + 1)

    # ------------------------------------------------------------------------ the training samples in it

    @property
    def n_node_samples(self) -> Any:
        """Distinct training samples in each node, int64 (node_count,)."""
        return self.nodes["samples"].astype(np.int64)

    @property
    def weighted_n_node_samples(self) -> Any:
        """Weight of the training samples in each node (a sample drawn twice counts twice), float64."""
        weight = self.nodes["threshold"].astype(np.float64)                 # right in the leaves
        for node, (feature, _, child, _) in reversed(list(enumerate(self.nodes.tolist()))):
            if feature >= 0:
                weight[node] = weight[child] + weight[child + 1]
        return weight

    @property
    def value(self) -> Any:
        """Share of each class in each node, float64 (node_count, n_classes): computed on request, and large."""
        weights = np.zeros((self.node_count, self.n_classes))
        for node, (feature, total, child, _) in reversed(list(enumerate(self.nodes.tolist()))):
            if feature >= 0:
                weights[node] = weights[child] + weights[child + 1]
            else:
                weights[node] = total * self._leaf_proba(child)
        return weights / weights.sum(axis=1, keepdims=True)

    def impurity(self, criterion: str = "gini") -> Any:
        """Return the impurity of each node.

        Parameters
        ----------
        criterion : {"gini", "entropy"}
            Gini index, or entropy in bits.

        Returns
        -------
        array (node_count,) float64

        Raises
        ------
        ValueError
            Another criterion.
        """
        p = self.value                                                      # (node_count, n_classes)
        if criterion == "gini":
            return 1 - (p * p).sum(axis=1)
        if criterion == "entropy":
            return -(p * np.log2(np.where(p > 0, p, 1))).sum(axis=1) + 0.0  # 0 log 0 = 0; + 0.0 turns -0 into 0
        raise ValueError(f"criterion={criterion!r}: expected 'gini' or 'entropy'")

    # --------------------------------------------------------------- walking down: the reference of the kernels

    def _check_rows(self, X: Any) -> Any:
        X = np.asarray(X, np.float32)
        if X.ndim != 2 or X.shape[1] != self.n_features:
            raise ValueError(f"X has shape {X.shape}: expected (samples, {self.n_features}), the features that "
                             "the tree was grown on")
        return X

    def _walk(self, x: Any) -> list[int]:
        """Return the nodes that row `x` passes, from the root to its leaf."""
        path, node = [0], 0
        while self.nodes[node]["feature"] >= 0:
            feature, threshold, child, _ = self.nodes[node]
            if np.isnan(x[feature]):
                left = self.missing_left[node] == 1
            else:
                left = x[feature] <= threshold
            node = int(child) if left else int(child) + 1
            path.append(node)
        return path

    def _leaf_proba(self, child: int) -> Any:
        """Return the class probabilities (n_classes,) of the leaf with this `child` field."""
        p = np.zeros(self.n_classes)
        if child < 0:
            p[-1 - child] = 1.0
        else:
            here = slice(self.leaf_start[child], self.leaf_start[child + 1])
            weights = self.leaf_weight[here].astype(np.float64)
            p[self.leaf_class[here]] = weights / weights.sum()
        return p

    def apply(self, X: Any) -> Any:
        """Return the leaf in which each row ends.

        Parameters
        ----------
        X : array (N, n_features)
            Used as float32; may hold NaN.

        Returns
        -------
        array (N,) int64
            Node numbers.

        Raises
        ------
        ValueError
            `X` has not `n_features` columns.
        """
        return np.array([self._walk(x)[-1] for x in self._check_rows(X)], np.int64)

    def decision_path(self, X: Any) -> csr_matrix:
        """Return the nodes that each row passes on its way down.

        Parameters
        ----------
        X : array (N, n_features)
            Used as float32; may hold NaN.

        Returns
        -------
        CSR matrix (N, node_count) int64
            1 where the row passes the node.

        Raises
        ------
        ValueError
            `X` has not `n_features` columns.
        """
        paths = [self._walk(x) for x in self._check_rows(X)]
        start = np.cumsum([0] + [len(path) for path in paths])
        passed = np.array([node for path in paths for node in path], np.int64)
        return csr_matrix((np.ones(len(passed), np.int64), passed, start), (len(paths), self.node_count))

    def predict_proba(self, X: Any) -> Any:
        """Return the class probabilities of each row: the shares of the classes in its leaf.

        Parameters
        ----------
        X : array (N, n_features)
            Used as float32; may hold NaN.

        Returns
        -------
        array (N, n_classes) float64

        Raises
        ------
        ValueError
            `X` has not `n_features` columns.
        """
        proba = np.zeros((len(X), self.n_classes))
        for i, leaf in enumerate(self.apply(X)):
            proba[i] = self._leaf_proba(self.nodes[leaf]["child"])
        return proba
