/* Compile a function for AVX-512, AVX2 and plain x86-64, chosen when the library is loaded; elsewhere once. */
#ifndef FIRSTSHIFT_MULTIVERSION_H
#define FIRSTSHIFT_MULTIVERSION_H

#if defined(__x86_64__) && defined(__GNUC__) && defined(__gnu_linux__)
#define MULTIVERSION __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define MULTIVERSION
#endif

#endif
