//! Gradient boosted trees, with the click shares of ids as tables inside of the exported graph.

use super::other::Other;
use crate::app::{config::Settings, iterate::System};

/// The trees of `[gbdt]` on all features.
pub(super) const GBDT: Other = Other(|settings: &Settings| System::Trees(settings.gbdt.clone()));
