//! fsview.
