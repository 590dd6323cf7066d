#!/usr/bin/env bash
# An app with pac4j can be told by the provider that a user has signed out (OpenID Connect back-channel logout). pac4j
# finds the web session by the token's `sid`. One would guess that it finds it for as long as the session lives. But
# by default what it goes by is a cache of 30 minutes from the sign-in, however active the user is, and of 10 000
# entries, two for each sign-in. After that the session stays as it is, and the answer to the provider is the same 200
# as for one that has ended, with nothing in the log above debug. Whoever relies on such logouts has to give pac4j a
# store that keeps its entries as long as the sessions last; and a provider cannot take a 200 to mean that a session
# is over.
#
#     findings/pac4j-forgets-whom-a-back-channel-logout-could-end.sh
#
# Needs Java 17 (with mvn). Exit code: 0 if it is still so, 1 if not, 2 if it could not be tried. The half hour is not
# waited for: the cache's clock is moved. Logout tokens are taken as already checked.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >pom.xml <<'EOF'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>finding</groupId><artifactId>finding</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.pac4j</groupId><artifactId>pac4j-oidc</artifactId><version>6.5.5</version></dependency>
  </dependencies>
</project>
EOF
mvn --quiet dependency:copy-dependencies -DoutputDirectory=lib >maven.log 2>&1 || { cat maven.log; exit 2; }

cat >Logout.java <<'EOF'
import com.google.common.base.Ticker;
import java.util.*;
import java.util.concurrent.TimeUnit;
import org.pac4j.core.config.Config;
import org.pac4j.core.context.*;
import org.pac4j.core.context.session.SessionStore;
import org.pac4j.core.credentials.SessionKeyCredentials;
import org.pac4j.core.logout.LogoutType;
import org.pac4j.core.logout.handler.*;
import org.pac4j.core.profile.*;
import org.pac4j.core.store.GuavaStore;
import org.pac4j.oidc.config.OidcConfiguration;
import org.pac4j.oidc.logout.processor.OidcLogoutProcessor;
import org.pac4j.test.context.MockWebContext;

/** The app's web sessions, in memory: those of one browser, which `id` names, or of none. */
class Sessions implements SessionStore {
    static final Map<String, Map<String, Object>> all = new HashMap<>();
    private String id;

    Sessions(String id) { this.id = id; }

    public Optional<String> getSessionId(WebContext context, boolean create) {
        if (id == null && create) id = UUID.randomUUID().toString();
        return Optional.ofNullable(id);
    }
    private Map<String, Object> mine() { return id == null ? new HashMap<>() : all.computeIfAbsent(id, any -> new HashMap<>()); }
    public Optional<Object> get(WebContext context, String key) { return Optional.ofNullable(mine().get(key)); }
    public void set(WebContext context, String key, Object value) { mine().put(key, value); }
    public boolean destroySession(WebContext context) { return all.remove(id) != null; }
    public Optional<Object> getTrackableSession(WebContext context) { return Optional.ofNullable(id); }
    public Optional<SessionStore> buildFromTrackableSession(WebContext context, Object id) { return Optional.of(new Sessions((String) id)); }
    public boolean renewSession(WebContext context) { return false; }
}

public class Logout {
    static final SessionLogoutHandler handler = new Config().getSessionLogoutHandler();
    static int signIns = 0;

    static CallContext signIn(String session) {
        var call = new CallContext(MockWebContext.create(), new Sessions(session));
        var profile = new CommonProfile();
        profile.setId("user-" + session);
        new ProfileManager(call.webContext(), call.sessionStore()).save(true, profile, false);
        handler.recordSession(call, "sid-of-" + session);
        signIns++;
        return call;
    }

    static boolean signedIn(String session) {
        return new ProfileManager(MockWebContext.create(), new Sessions(session)).isAuthenticated();
    }

    /** What the provider is answered, and whether the user is signed in still. */
    static String signOut(String session) {
        var call = new CallContext(MockWebContext.create(), new Sessions(null));
        var credentials = new SessionKeyCredentials(LogoutType.BACK, "sid-of-" + session);
        var action = new OidcLogoutProcessor(new OidcConfiguration(), handler).processLogout(call, credentials);
        return "answered " + action.getCode() + ", " + (signedIn(session) ? "still signed in" : "signed out");
    }

    static void others(int number) {
        for (int next = 0; next < number; next++) signIn("other-" + signIns);
    }

    /** The cache counts nanoseconds; from now on it believes that so many minutes more have passed. */
    static void pass(long minutes) throws Exception {
        var store = (GuavaStore<?, ?>) ((DefaultSessionLogoutHandler) handler).getStore();
        var inner = store.getCache().getClass().getDeclaredField("localCache");
        inner.setAccessible(true);
        var cache = inner.get(store.getCache());
        var ticker = cache.getClass().getDeclaredField("ticker");
        ticker.setAccessible(true);
        var before = (Ticker) ticker.get(cache);
        ticker.set(cache, new Ticker() {
            public long read() { return before.read() + TimeUnit.MINUTES.toNanos(minutes); }
        });
    }

    public static void main(String[] none) throws Exception {
        signIn("early");
        others(4000);
        System.out.println("after 4000 sign-ins of others: " + signOut("early"));
        signIn("late");
        others(6000);
        System.out.println("after 6000 sign-ins of others: " + signOut("late"));
        signIn("quick");
        pass(29);
        System.out.println("after 29 minutes: " + signOut("quick"));
        signIn("slow");
        pass(31);
        System.out.println("after 31 minutes: " + signOut("slow"));
    }
}
EOF
javac -nowarn -cp 'lib/*' -d classes Logout.java 2>java.log || { cat java.log; exit 2; }
echo "pac4j 6.5.5, back-channel logout of one user"
java -cp 'lib/*:classes' Logout 2>java.log | tee output.log || { cat java.log; exit 2; }
cat >expected.log <<'EOF'
after 4000 sign-ins of others: answered 200, signed out
after 6000 sign-ins of others: answered 200, still signed in
after 29 minutes: answered 200, signed out
after 31 minutes: answered 200, still signed in
EOF
cmp -s output.log expected.log && echo "still so: a session can outlive what pac4j knows of it" && exit 0
echo "this has changed"
exit 1
