//! Landlock: every access that the kernel can deny is denied, everywhere.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, Ruleset, RulesetAttr, RulesetError,
    RulesetStatus, Scope,
};

/// The newest ABI whose rights are asked for; an older kernel grants the part that it knows.
const NEWEST: ABI = ABI::V10;

/// Denies everything. Gives the ABI in force, 0 where the kernel has none.
pub(super) fn apply() -> Result<u32, RulesetError> {
    // From ABI 4 also TCP, from 6 also signals and abstract sockets to processes outside.
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .restrict_self()?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => 0,
        (_, LandlockStatus::Available { effective_abi, .. }) => effective_abi as u32,
        (_, LandlockStatus::NotEnabled | LandlockStatus::NotImplemented) => 0,
    })
}
