//! What is attacked: scripts of verbs, each on a folder in some state; and the verbs that come next.

/// A folder that scripts begin with: the processes that made it, and what was done to it behind them.
pub struct State {
    pub name: &'static str,
    pub from: Option<&'static str>,
    pub verbs: &'static str,
    pub then: Then,
}

/// What happens to a state's folder when its process is over, or in it.
#[derive(Clone, Copy, PartialEq)]
pub enum Then {
    Nothing,
    /// It is killed at the last moment before the mark of a move goes.
    KilledAtMark,
    /// An operator, or a broken disk, takes the engine's folder away.
    EngineLost,
    EngineAndKeyringLost,
    /// Bytes in the middle of the ledger are others.
    LedgerDamaged,
}

const fn state(name: &'static str, from: Option<&'static str>, verbs: &'static str, then: Then) -> State {
    State { name, from, verbs, then }
}

const LIVED: &str = "create populate put_refresh put put_access web_create out_other wait_reclaimed backup put_large sign_in \
                     sign_in_with close";

const APART: &str = "create_apart populate put_refresh put put_access web_create out_other backup put_large sign_in vanish";

pub const STATES: &[State] = &[
    state("new", None, "", Then::Nothing),
    state("lived", None, LIVED, Then::Nothing),
    state("unclean", Some("lived"), "open put out_third put_access web_create vanish", Then::Nothing),
    state("moved", Some("lived"), "open compact put close", Then::Nothing),
    state("half_compacted", Some("unclean"), "open_alone compact", Then::KilledAtMark),
    state("half_erased", Some("unclean"), "open_alone erase", Then::KilledAtMark),
    state("migrated", Some("lived"), "open_alone migrate put close", Then::Nothing),
    state("half_migrated", Some("unclean"), "open_alone migrate", Then::KilledAtMark),
    state("lost", Some("lived"), "open close", Then::EngineLost),
    state("lost_keyring", Some("lived"), "open close", Then::EngineAndKeyringLost),
    state("half_restored", Some("lost"), "restore", Then::KilledAtMark),
    state("damaged", Some("lived"), "open close", Then::LedgerDamaged),
    // With the ledger in a folder of its own.
    state("apart", None, APART, Then::Nothing),
    // Of the toys.
    state("toy", None, "create sign_in sign_in_2 put", Then::Nothing),
];

pub struct Script {
    pub name: &'static str,
    pub state: &'static str,
    pub verbs: &'static str,
    pub threads: u64,
    /// What the clock shows, in days.
    pub day: u64,
    /// Whether the calls of `open` are attacked here too, and not only what follows.
    pub whole: bool,
}

const fn script(name: &'static str, state: &'static str, verbs: &'static str) -> Script {
    Script { name, state, verbs, threads: 1, day: 0, whole: false }
}

const fn whole(name: &'static str, state: &'static str, verbs: &'static str) -> Script {
    Script { whole: true, ..script(name, state, verbs) }
}

const fn eight(name: &'static str, verbs: &'static str) -> Script {
    Script { threads: 8, ..script(name, "lived", verbs) }
}

const fn later(name: &'static str, day: u64, verbs: &'static str) -> Script {
    Script { day, ..script(name, "unclean", verbs) }
}

pub const SCRIPTS: &[Script] = &[
    whole("create", "new", "create close"),
    whole("create_and_work", "new", "create sign_in put out_account close"),
    whole("open", "lived", "open close"),
    whole("open_unclean", "unclean", "open drop"),
    whole("open_moved", "moved", "open close"),
    whole("open_half_compacted", "half_compacted", "open close"),
    whole("open_half_erased", "half_erased", "open close"),
    whole("open_half_restored", "half_restored", "open close"),
    script("sign_in", "lived", "open sign_in sign_in_again close"),
    script("sign_in_with", "unclean", "open sign_in_with drop"),
    script("put", "lived", "open put put_access close"),
    script("put_large", "lived", "open put_large close"),
    script("get", "unclean", "open get accounts last_sign_out stats as_of close"),
    script("acquire", "lived", "open acquire acquire acquire_app close"),
    script("out_account", "lived", "open out_account wait_reclaimed close"),
    script("out_taking", "unclean", "open out_taking close"),
    script("out_session", "lived", "open out_session drop"),
    script("out_subject", "lived", "open out_subject close"),
    script("out_tenant", "lived", "open out_tenant wait_reclaimed close"),
    script("out_everybody", "unclean", "open out_everybody close"),
    later("out_cutoff", 1, "open sign_in_again out_cutoff close"),
    script("out_alias", "lived", "open out_alias sign_in_again out_alias close"),
    script("out_counted", "unclean", "open out_counted sign_in_late out_counted close"),
    script("out_and_in", "lived", "open out_account sign_in_again put out_account sign_in_again close"),
    script("sweep", "unclean", "open sweep close"),
    script("compact", "unclean", "open out_tenant compact put close"),
    script("erase", "unclean", "open_alone erase put close"),
    script("erase_other_key", "moved", "open_alone erase_other put close"),
    // Alone, which of the two engines is no difference.
    script("compact_alone", "unclean", "open_alone out_tenant compact put close"),
    script("migrate", "unclean", "open_alone migrate put close"),
    script("migrate_back", "migrated", "open_alone out_account migrate_back put close"),
    whole("open_migrated", "migrated", "open out_account close"),
    whole("open_half_migrated", "half_migrated", "open close"),
    script("backup", "unclean", "open backup put close"),
    whole("restore", "unclean", "restore put close"),
    whole("restore_lost", "lost", "restore put close"),
    whole("restore_lost_keyring", "lost_keyring", "restore close"),
    whole("open_apart", "apart", "open close"),
    script("work_apart", "apart", "open sign_in put out_account sign_in_again close"),
    script("erase_apart", "apart", "open_alone erase out_account put close"),
    whole("restore_apart", "apart", "restore put close"),
    script("rotate", "lived", "open rotate rotate_both close"),
    script("verify", "unclean", "open verify close"),
    whole("offline_verify", "unclean", "offline_verify"),
    whole("history", "unclean", "history"),
    whole("forget_sound", "unclean", "open_forget put close"),
    whole("forget_damaged", "damaged", "open_forget sign_in put close"),
    script("web", "lived", "open web_create web_save web_delete web_create web_sweep close"),
    script("upkeep", "unclean", "open out_account upkeep close"),
    later("aged", 91, "open sign_in trust_clock sweep compact close"),
    eight("8_users", "open sign_in put out_account sign_in_with put_large close"),
    eight("8_web", "open web_create web_save out_account web_create web_delete close"),
    eight("8_compact", "open put compact out_account close"),
    eight("8_erase", "open_alone put erase out_account close"),
    eight("8_backup", "open put backup out_account close"),
    eight("8_sweep", "open out_account sweep put drop"),
    eight("8_acquire", "open put_refresh acquire out_account sign_in acquire close"),
];

/// Of the known-bad stores.
pub const TOY: Script = whole("toy", "toy", "open put out_account sign_in");

/// What comes next in the same folder, after an attack: every other verb.
pub const NEXT: &[&str] = &[
    "open look drop",
    "open sign_in look close",
    "open put put_large look close",
    "open out_account look close",
    "open out_tenant sign_in look close",
    "open sign_in_again out_cutoff look drop",
    "open sign_in_late out_alias look close",
    "open out_counted acquire_app look close",
    "open sweep look close",
    "open compact look close",
    "open_alone erase look close",
    "open backup look close",
    "restore look close",
    "restore_unfinished look close",
    "open sign_in close restore look close",
    "open rotate look close",
    "open verify look drop",
    "offline_verify open look close",
    "history open look close",
    "open_forget sign_in look close",
    "open web_create web_save web_delete look close",
    "open put_refresh acquire look close",
    "open upkeep look close",
    "open wait_reclaimed stats look close",
    "open close open look close",
    "open_alone migrate look close",
];

/// Of a toy.
pub const TOY_NEXT: &[&str] = &["open put look", "open out_account look"];

/// What every case ends with: nothing may have changed since the look before.
pub const JUDGE: &str = "open look verify stats close";

/// How a folder that an operator or a disk has damaged is mended, if it says that it is damaged: by the first of these that can be.
pub fn remedies(state: &str) -> &'static [&'static str] {
    const FORGET: &str = "open_forget look close";
    match state {
        // Whoever has begun to forget everyone cannot restore what was.
        "lost" | "lost_keyring" | "half_restored" => &["restore look close", FORGET],
        "damaged" => &[FORGET],
        _ => &[],
    }
}
