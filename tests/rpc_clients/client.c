/* Calls the example `rpc` through libtirpc: `client tcp|udp PORT`, with what rpcgen(1) makes of
   `examples/rpc.x`. Ends with success where every answer is right. */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "example.h"

static void fail(CLIENT *client, const char *what)
{
    fprintf(stderr, "%s\n", clnt_sperror(client, what));
    exit(1);
}

static void expect(int is_so, const char *what)
{
    if (!is_so) {
        fprintf(stderr, "not so: %s\n", what);
        exit(1);
    }
}

/* Everything that the program can do. */
static void call_all(CLIENT *client)
{
    if (example_null_1(NULL, client) == NULL)
        fail(client, "null");

    text hello = "hello", nothing = "";
    text *echo = example_echo_1(&hello, client);
    if (echo == NULL)
        fail(client, "echo");
    expect(strcmp(*echo, hello) == 0, "the same text");
    echo = example_echo_1(&nothing, client);
    if (echo == NULL)
        fail(client, "echo of nothing");
    expect(**echo == 0, "no text");

    char long_text[LONGEST + 1];
    memset(long_text, 'x', LONGEST);
    long_text[LONGEST] = 0;
    text longest = long_text;
    echo = example_echo_1(&longest, client);
    if (echo == NULL)
        fail(client, "echo of the longest");
    expect(strcmp(*echo, longest) == 0, "the same long text");

    u_quad_t *seconds = example_seconds_1(NULL, client);
    if (seconds == NULL)
        fail(client, "seconds");
    long off = (long)*seconds - (long)time(NULL);
    expect(off > -60 && off < 60, "the seconds since 1970");
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[2])) };
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int is_tcp = strcmp(argv[1], "tcp") == 0, fd = RPC_ANYSOCK;
    struct timeval again = { .tv_sec = 5 }, limit = { .tv_sec = 20 };
    CLIENT *client = is_tcp ? clnttcp_create(&at, EXAMPLE, EXAMPLE_1, &fd, 0, 0)
                            : clntudp_create(&at, EXAMPLE, EXAMPLE_1, again, &fd);
    expect(client != NULL, "a client");

    call_all(client);
    /* And as a user, of groups that are as many as there may be. */
    gid_t groups[16];
    for (int i = 0; i < 16; i++)
        groups[i] = i;
    client->cl_auth = authunix_create("a machine", 1000, 100, 16, groups);
    call_all(client);

    /* What there is not, and what is too long. */
    enum clnt_stat said = clnt_call(client, 99, (xdrproc_t)xdr_void, NULL, (xdrproc_t)xdr_void,
                                    NULL, limit);
    expect(said == RPC_PROCUNAVAIL, "no such procedure");
    u_int number = LONGEST + 1;
    said = clnt_call(client, EXAMPLE_ECHO, (xdrproc_t)xdr_u_int, (char *)&number,
                     (xdrproc_t)xdr_void, NULL, limit);
    expect(said == RPC_CANTDECODEARGS, "arguments that are none");
    u_int version = 9;
    CLNT_CONTROL(client, CLSET_VERS, (char *)&version);
    said = clnt_call(client, 0, (xdrproc_t)xdr_void, NULL, (xdrproc_t)xdr_void, NULL, limit);
    expect(said == RPC_PROGVERSMISMATCH, "no such version");
    puts("all is right");
    return 0;
}
