//! Objectives in the words people say, and the statistics that judge them.
