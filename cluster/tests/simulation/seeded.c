/* Randomness that is the same in every run, for the simulation (runs.rs).
 *
 * Preloaded into a run. What the operating system would draw for the process is counted up instead, for
 * each thread by itself: the hash maps of the standard library and the choices of tokio, which no option
 * of theirs makes repeatable, come from it.
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

static __thread uint64_t drawn;

static uint64_t next(void) {
  uint64_t z = (drawn += 0x9e3779b97f4a7c15u); /* splitmix64 */
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

ssize_t getrandom(void *buffer, size_t length, unsigned int flags) {
  unsigned char *bytes = buffer;
  (void)flags;
  for (size_t at = 0; at < length; at++) bytes[at] = (unsigned char)next();
  return (ssize_t)length;
}

int getentropy(void *buffer, size_t length) {
  getrandom(buffer, length, 0);
  return 0;
}
