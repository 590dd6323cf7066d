#!/usr/bin/env bash
# An app keeps its users' tokens in a `DataStore` of google-oauth-client (Maven), and a sign-out deletes the user's
# entry. That a refresh which was on its way and succeeds writes the entry back, a good engineer would guard against.
# But so does a refresh that is refused: the library then stores what it still has in memory, which is the refresh
# token without an access token. So where a sign-out has revoked the token at the provider, and a refresh meets
# `invalid_grant` for it, the deleted entry is back, refresh token and all, after the sign-out has ended. Whoever
# deletes from such a store has to delete again when the requests in flight have ended, and cannot tell from an entry
# that the user is signed in.
#
#     findings/google-oauth-client-refused-refresh-stores-the-token-again.sh
#
# Needs Java 17 (with mvn). Exit code: 0 if it is still so, 1 if not, 2 if it could not be tried. No provider is asked:
# the HTTP transport answers itself.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >pom.xml <<'EOF'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>finding</groupId><artifactId>finding</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>com.google.oauth-client</groupId><artifactId>google-oauth-client</artifactId><version>1.39.0</version>
    </dependency>
  </dependencies>
</project>
EOF
mvn --quiet dependency:copy-dependencies -DoutputDirectory=lib >maven.log 2>&1 || { cat maven.log; exit 2; }

cat >Refused.java <<'EOF'
import com.google.api.client.auth.oauth2.*;
import com.google.api.client.http.*;
import com.google.api.client.json.gson.GsonFactory;
import com.google.api.client.testing.http.*;
import com.google.api.client.util.store.*;
import java.io.IOException;

public class Refused {
    static DataStore<StoredCredential> store;

    /** The user signs out while the provider has the request, and so the provider refuses it. */
    static class Provider extends MockHttpTransport {
        public LowLevelHttpRequest buildRequest(String method, String url) {
            return new MockLowLevelHttpRequest() {
                public LowLevelHttpResponse execute() throws IOException {
                    store.delete("user");
                    say("signed out");
                    return new MockLowLevelHttpResponse().setStatusCode(400).setContentType("application/json")
                        .setContent("{\"error\": \"invalid_grant\"}");
                }
            };
        }
    }

    static void say(String when) throws IOException {
        var kept = store.get("user");
        System.out.println(when + ": " + (kept == null ? "no entry"
            : "access token " + kept.getAccessToken() + ", refresh token " + kept.getRefreshToken()));
    }

    public static void main(String[] none) throws Exception {
        store = StoredCredential.getDefaultDataStore(new MemoryDataStoreFactory());
        var flow = new AuthorizationCodeFlow.Builder(
                BearerToken.authorizationHeaderAccessMethod(), new Provider(), GsonFactory.getDefaultInstance(),
                new GenericUrl("https://provider.example/token"), new ClientParametersAuthentication("web", "fake"), "web",
                "https://provider.example/authorize")
            .setCredentialDataStore(store).build();
        var response = new TokenResponse().setTokenType("Bearer").setExpiresInSeconds(3600L)
            .setAccessToken("FAKE-AT").setRefreshToken("FAKE-RT");
        var credential = flow.createAndStoreCredential(response, "user");
        say("signed in");
        try {
            credential.refreshToken();
        } catch (TokenResponseException refused) {
            say("refused, " + refused.getDetails().getError());
        }
    }
}
EOF
echo "google-oauth-client 1.39.0, what the store has of the user"
java -cp 'lib/*' Refused.java 2>java.log | tee output.log || { cat java.log; exit 2; }
cat >expected.log <<'EOF'
signed in: access token FAKE-AT, refresh token FAKE-RT
signed out: no entry
refused, invalid_grant: access token null, refresh token FAKE-RT
EOF
cmp -s output.log expected.log && echo "still so: a refusal stores the refresh token again" && exit 0
echo "this has changed"
exit 1
