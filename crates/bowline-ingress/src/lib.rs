//! Where events enter Bowline: webhook routes, and the one door to the store.
