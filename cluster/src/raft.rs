//! The types openraft is used with, and the one place that says so.
