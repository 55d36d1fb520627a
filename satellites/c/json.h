/* json.h: just enough to read the bodies of WELCOME and ROUTES, which are objects. What is not asked for is skipped. */
#ifndef DSAT_JSON_H
#define DSAT_JSON_H

#include <stddef.h>
#include <stdint.h>

/* A list of strings, NULL-terminated, in one piece of memory. */
typedef char **json_strings;

/* Whether text is one well-formed JSON object and nothing else (objects and lists nested up to 32 deep). */
int json_object(const char *text, size_t size);

/* The whole number under a key of the object, or other: there is none, or it is no whole number up to 2^63. */
int64_t json_number(const char *text, size_t size, const char *key, int64_t other);

/* Whether the value under a key is true. */
int json_true(const char *text, size_t size, const char *key);

/* The list of strings under a key, to be freed with free; an empty one where there is none. NULL: no memory. */
json_strings json_list(const char *text, size_t size, const char *key);

#endif
