//! **Demonstration.** Which sample or library each behaviour of the cache is copied from.

/// One behaviour, and where it is from.
pub(crate) struct Copy {
    pub(crate) what: &'static str,
    /// The library, and what it does.
    pub(crate) of: &'static str,
    pub(crate) source: Source,
    /// What an app, or another library, does instead.
    pub(crate) better: &'static str,
}

pub(crate) struct Source {
    pub(crate) name: &'static str,
    pub(crate) url: &'static str,
}

/// As these were read in 2026.
pub(crate) const COPIES: [Copy; 4] = [
    Copy {
        what: "A sign-out removes tokens by a scan of all entries",
        of: "MSAL for Java, Python and Node: no entry can be found by its account alone.",
        source: Source {
            name: "MSAL Node, issue 5457",
            url: "https://github.com/AzureAD/microsoft-authentication-library-for-js/issues/5457",
        },
        better: "A cache for each user keeps the scan short.",
    },
    Copy {
        what: "A refresh stores its tokens, whatever happened meanwhile",
        of: "MSAL.NET: the lock is not held while the provider answers, and the account is not \
             looked for again.",
        source: Source {
            name: "MSAL.NET, issue 2063",
            url: concat!(
                "https://github.com/AzureAD/",
                "microsoft-authentication-library-for-dotnet/issues/2063"
            ),
        },
        better: "MSAL Node looks for the account first, within one process.",
    },
    Copy {
        what: "The file is written behind, and at an orderly end",
        of: "Redis, where such caches often lie, as it is installed: after one change it writes a \
             snapshot at most once an hour. A kill goes back to the last one. (Here: a minute.)",
        source: Source {
            name: "Redis, redis.conf",
            url: "https://github.com/redis/redis/blob/unstable/redis.conf",
        },
        better: "Redis can sync each write: appendfsync always.",
    },
    Copy {
        what: "The provider's sign-out is not listened to",
        of: "Microsoft.Identity.Web removes tokens when its own app signs the user out; ASP.NET \
             Core has no back channel.",
        source: Source {
            name: "ASP.NET Core, issue 4659",
            url: "https://github.com/dotnet/aspnetcore/issues/4659",
        },
        better: "An app can add the endpoint, and keep a list of sessions to accounts.",
    },
];
