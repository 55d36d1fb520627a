#include "json.h"

#include <stdlib.h>
#include <string.h>

struct text {
	const char *at, *end;
	int depth;
};

enum { deepest = 32 };

static int value(struct text *t);

static void space(struct text *t)
{
	while (t->at < t->end && strchr(" \t\r\n", *t->at) && *t->at)
		t->at++;
}

static int take(struct text *t, char c)
{
	space(t);
	if (t->at == t->end || *t->at != c)
		return 0;
	t->at++;
	return 1;
}

static int hex4(const char *p, unsigned *out)
{
	unsigned v = 0;
	int i;

	for (i = 0; i < 4; i++) {
		char c = p[i];
		v <<= 4;
		if (c >= '0' && c <= '9')
			v |= (unsigned)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			v |= (unsigned)((c | 32) - 'a' + 10);
		else
			return 0;
	}
	*out = v;
	return 1;
}

/* A character escaped by \u becomes UTF-8. Halves of pairs become "?": names of steps have none. */
static char *utf8(char *out, unsigned v)
{
	if (v >= 0xD800 && v < 0xE000)
		v = '?';
	if (v < 0x80) {
		*out++ = (char)v;
	} else if (v < 0x800) {
		*out++ = (char)(0xC0 | v >> 6);
		*out++ = (char)(0x80 | (v & 0x3F));
	} else {
		*out++ = (char)(0xE0 | v >> 12);
		*out++ = (char)(0x80 | (v >> 6 & 0x3F));
		*out++ = (char)(0x80 | (v & 0x3F));
	}
	return out;
}

/* Reads a string; into, unless it is NULL, gets it, which is never longer than its text, and a zero. */
static int string(struct text *t, char **into)
{
	static const char codes[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
	char *out = into ? *into : NULL;
	unsigned v;

	if (!take(t, '"'))
		return 0;
	while (t->at < t->end && *t->at != '"') {
		char c = *t->at++;
		if ((unsigned char)c < 0x20)
			return 0;
		if (c == '\\') {
			const char *code;
			if (t->at == t->end)
				return 0;
			c = *t->at++;
			if (c == 'u') {
				if (t->end - t->at < 4 || !hex4(t->at, &v))
					return 0;
				t->at += 4;
				if (out)
					out = utf8(out, v);
				continue;
			}
			code = c ? strchr(codes, c) : NULL;
			if (!code)
				return 0;
			c = means[code - codes];
		}
		if (out)
			*out++ = c;
	}
	if (t->at == t->end)
		return 0;
	t->at++;
	if (out) {
		*out++ = 0;
		*into = out;
	}
	return 1;
}

static int digits(struct text *t)
{
	const char *from = t->at;

	while (t->at < t->end && *t->at >= '0' && *t->at <= '9')
		t->at++;
	return t->at > from;
}

static int number(struct text *t)
{
	if (t->at < t->end && *t->at == '-')
		t->at++;
	if (!digits(t))
		return 0;
	if (t->at < t->end && *t->at == '.') {
		t->at++;
		if (!digits(t))
			return 0;
	}
	if (t->at < t->end && (*t->at | 32) == 'e') {
		t->at++;
		if (t->at < t->end && (*t->at == '+' || *t->at == '-'))
			t->at++;
		if (!digits(t))
			return 0;
	}
	return 1;
}

static int word(struct text *t, const char *w)
{
	size_t n = strlen(w);

	if ((size_t)(t->end - t->at) < n || memcmp(t->at, w, n) != 0)
		return 0;
	t->at += n;
	return 1;
}

static int list(struct text *t)
{
	if (!take(t, '['))
		return 0;
	if (take(t, ']'))
		return 1;
	do {
		if (!value(t))
			return 0;
	} while (take(t, ','));
	return take(t, ']');
}

/* Reads an object; at the value of key, unless key is NULL, found gets a copy of t. The last one of several wins. */
static int object(struct text *t, const char *key, struct text *found)
{
	if (!take(t, '{'))
		return 0;
	if (take(t, '}'))
		return 1;
	do {
		const char *name;
		space(t);
		name = t->at;
		if (!string(t, NULL))
			return 0;
		if (!take(t, ':'))
			return 0;
		space(t);
		if (key && strncmp(name + 1, key, strlen(key)) == 0 && name[1 + strlen(key)] == '"')
			*found = *t;
		if (!value(t))
			return 0;
	} while (take(t, ','));
	return take(t, '}');
}

static int value(struct text *t)
{
	int ok;

	space(t);
	if (t->at == t->end || t->depth == deepest)
		return 0;
	t->depth++;
	switch (*t->at) {
	case '{': ok = object(t, NULL, NULL); break;
	case '[': ok = list(t); break;
	case '"': ok = string(t, NULL); break;
	case 't': ok = word(t, "true"); break;
	case 'f': ok = word(t, "false"); break;
	case 'n': ok = word(t, "null"); break;
	default: ok = number(t);
	}
	t->depth--;
	return ok;
}

static struct text whole(const char *text, size_t size)
{
	return (struct text){text, text + size, 0};
}

int json_object(const char *text, size_t size)
{
	struct text t = whole(text, size);

	if (!object(&t, NULL, NULL))
		return 0;
	space(&t);
	return t.at == t.end;
}

/* The place of a key's value; 0: there is none. */
static int find(const char *text, size_t size, const char *key, struct text *found)
{
	struct text t = whole(text, size);

	found->at = NULL;
	return object(&t, key, found) && found->at;
}

int64_t json_number(const char *text, size_t size, const char *key, int64_t other)
{
	struct text t;
	int64_t v = 0;
	int minus = 0;

	if (!find(text, size, key, &t))
		return other;
	if (t.at < t.end && *t.at == '-') {
		minus = 1;
		t.at++;
	}
	if (t.at == t.end || *t.at < '0' || *t.at > '9')
		return other;
	for (; t.at < t.end && *t.at >= '0' && *t.at <= '9'; t.at++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *t.at - '0', &v))
			return other;
	if (t.at < t.end && (*t.at == '.' || (*t.at | 32) == 'e'))
		return other;
	return minus ? -v : v;
}

int json_true(const char *text, size_t size, const char *key)
{
	struct text t;

	return find(text, size, key, &t) && word(&t, "true");
}

json_strings json_list(const char *text, size_t size, const char *key)
{
	struct text t, count;
	size_t n = 0;
	char *bytes;
	json_strings all;

	if (!find(text, size, key, &t))
		return calloc(1, sizeof *all);
	count = t;
	if (take(&count, '['))
		while (string(&count, NULL)) {
			n++;
			take(&count, ',');
		}
	/* A string and its zero are never longer than its text with its quotes. */
	all = malloc((n + 1) * sizeof *all + (size_t)(count.at - t.at));
	if (!all)
		return NULL;
	bytes = (char *)(all + n + 1);
	all[n] = NULL;
	take(&t, '[');
	for (size_t i = 0; i < n; i++) {
		all[i] = bytes;
		string(&t, &bytes);
		take(&t, ',');
	}
	return all;
}
