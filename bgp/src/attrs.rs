//! Path attributes in the canonical form that the daemon keeps.
