#include "stream/tls.h"

#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/base/memory.h"

/* The key is fresh for each migration; with the exchange of keys beside it, what was recorded
 * cannot be read by who gets it later. */
/*
 * With a key that is a PSK the hash is SHA-256, which leaves two ciphers. Servers have instructions
 * for AES: it takes a tenth of the time of ChaCha20, which GnuTLS would prefer.
 */
#define PRIORITY                                                                                   \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK:-GROUP-ALL:+GROUP-X25519"                    \
    ":-CIPHER-ALL:+AES-128-GCM:+CHACHA20-POLY1305"
#define NAME "ninja"

struct tls {
    int fd;
    gnutls_session_t session;
    gnutls_psk_client_credentials_t client;
    gnutls_psk_server_credentials_t server;
    uint8_t key[TLS_KEY_BYTES];
};

static int give_key(gnutls_session_t session, const char *name, gnutls_datum_t *key)
{
    const struct tls *tls = gnutls_session_get_ptr(session);
    key->data = gnutls_malloc(TLS_KEY_BYTES);
    if (key->data == NULL) {
        return GNUTLS_E_MEMORY_ERROR;
    }
    memcpy(key->data, tls->key, TLS_KEY_BYTES);
    key->size = TLS_KEY_BYTES;
    return 0;
}

static int set_server(struct tls *tls)
{
    int code = gnutls_psk_allocate_server_credentials(&tls->server);
    if (code < 0) {
        return code;
    }
    gnutls_psk_set_server_credentials_function(tls->server, give_key);
    return gnutls_credentials_set(tls->session, GNUTLS_CRD_PSK, tls->server);
}

static int set_client(struct tls *tls)
{
    gnutls_datum_t key = {tls->key, TLS_KEY_BYTES};
    int code = gnutls_psk_allocate_client_credentials(&tls->client);
    if (code < 0) {
        return code;
    }
    code = gnutls_psk_set_client_credentials(tls->client, NAME, &key, GNUTLS_PSK_KEY_RAW);
    return code < 0 ? code : gnutls_credentials_set(tls->session, GNUTLS_CRD_PSK, tls->client);
}

static int begin(struct tls *tls, bool server, int timeout_ms)
{
    /* Tickets would be written by the thread that reads. */
    unsigned flags = (server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NO_TICKETS;
    int code = gnutls_init(&tls->session, flags);
    if (code < 0) {
        tls->session = NULL;
        return code;
    }
    gnutls_session_set_ptr(tls->session, tls);
    code = server ? set_server(tls) : set_client(tls);
    if (code >= 0) {
        code = gnutls_priority_set_direct(tls->session, PRIORITY, NULL);
    }
    if (code < 0) {
        return code;
    }
    gnutls_transport_set_int(tls->session, tls->fd);
    gnutls_handshake_set_timeout(tls->session, (unsigned)timeout_ms);
    do {
        code = gnutls_handshake(tls->session);
    } while (code < 0 && !gnutls_error_is_fatal(code));
    if (code < 0) {
        gnutls_alert_send_appropriate(tls->session, code); /* it does not come of itself */
    }
    return code;
}

/* With another key the proof does not fit, and the other side is told so or finds it out. */
static bool is_about_the_key(int code)
{
    return code == GNUTLS_E_FATAL_ALERT_RECEIVED || code == GNUTLS_E_DECRYPTION_FAILED ||
           code == GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER || code == GNUTLS_E_ERROR_IN_FINISHED_PACKET;
}

struct tls *tls_new(int fd, bool server, const uint8_t key[TLS_KEY_BYTES], int timeout_ms,
                    struct ninja_error *err)
{
    struct tls *tls = xcalloc(1, sizeof(*tls));
    tls->fd = fd;
    memcpy(tls->key, key, TLS_KEY_BYTES);
    int code = begin(tls, server, timeout_ms);
    if (code >= 0) {
        return tls;
    }
    tls_free(tls);
    ninja_error_set(err, is_about_the_key(code) ? ERR_FORBIDDEN : ERR_CONNECT,
                    "the two sides of the stream cannot agree on a key: %s", gnutls_strerror(code));
    return NULL;
}

bool tls_read(struct tls *tls, void *bytes, size_t len)
{
    char *to = bytes;
    while (len > 0) {
        ssize_t n = gnutls_record_recv(tls->session, to, len);
        if (n > 0) {
            to += n;
            len -= (size_t)n;
        } else if (n == 0 || gnutls_error_is_fatal((int)n)) {
            return false;
        }
    }
    return true;
}

bool tls_write(struct tls *tls, const void *bytes, size_t len)
{
    const char *from = bytes;
    while (len > 0) {
        ssize_t n = gnutls_record_send(tls->session, from, len);
        if (n > 0) {
            from += n;
            len -= (size_t)n;
        } else if (n < 0 && gnutls_error_is_fatal((int)n)) {
            return false;
        }
    }
    return true;
}

void tls_limit(struct tls *tls, int timeout_ms)
{
    gnutls_record_set_timeout(tls->session, (unsigned)timeout_ms);
}

void tls_shut(struct tls *tls)
{
    shutdown(tls->fd, SHUT_RDWR);
}

void tls_free(struct tls *tls)
{
    if (tls == NULL) {
        return;
    }
    if (tls->session != NULL) {
        gnutls_deinit(tls->session);
    }
    if (tls->client != NULL) {
        gnutls_psk_free_client_credentials(tls->client);
    }
    if (tls->server != NULL) {
        gnutls_psk_free_server_credentials(tls->server);
    }
    gnutls_memset(tls->key, 0, sizeof(tls->key));
    close(tls->fd);
    free(tls);
}
