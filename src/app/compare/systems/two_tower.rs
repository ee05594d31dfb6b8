//! A tower for the user and one for the candidate, whose vectors are multiplied.

use super::other::Other;
use crate::app::{config::Settings, iterate::System};

/// The network of `[two_tower]` on all features.
pub(super) const TWO_TOWER: Other = Other(|settings: &Settings| System::TwoTower(settings.two_tower.clone()));
