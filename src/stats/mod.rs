//! Statistics that the diagnosis, experiments and reports share: intervals, permutation, change points. PURE.
