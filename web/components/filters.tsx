/** Filters of a list, kept in the address, so that a link shows what its sender saw. */
import { NativeSelect, TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { useSearchParams } from 'react-router';
import type { Filters } from '../queries.ts';

const TYPING_MS = 300;
const SEARCH_CHARS = 200;

/** The named parameters of the address, and a way to change one; an empty value removes it. */
export function useFilters(names: readonly string[]): [Filters, (name: string, value: string) => void] {
  const [params, setParams] = useSearchParams();
  const wanted = names.join(' ');
  const filters = useMemo(() => {
    const entries = wanted.split(' ').map((name) => [name, params.get(name) ?? ''] as const);
    return Object.fromEntries(entries.filter(([, value]) => value !== ''));
  }, [params, wanted]);
  const change = useCallback(
    (name: string, value: string) =>
      setParams(
        (before) => {
          const next = new URLSearchParams(before);
          if (value === '') next.delete(name);
          else next.set(name, value);
          return next;
        },
        { replace: true, preventScrollReset: true },
      ),
    [setParams],
  );
  return [filters, change];
}

interface ChoiceProps {
  readonly label: string;
  readonly value: string | undefined;
  readonly options: readonly { value: string; label: string }[];
  readonly change: (value: string) => void;
}

export function Choice({ label, value, options, change }: ChoiceProps) {
  return (
    <NativeSelect
      label={label}
      size="sm"
      value={value ?? ''}
      data={[{ value: '', label: 'Any' }, ...options]}
      onChange={(event) => change(event.currentTarget.value)}
    />
  );
}

interface TypedProps {
  readonly label: string;
  readonly value: string | undefined;
  readonly placeholder?: string;
  readonly change: (value: string) => void;
}

/** A text filter that asks once the typing pauses. Follows the address when something else changes it. */
export function Typed({ label, value = '', placeholder, change }: TypedProps) {
  const [text, setText] = useState(value);
  const asked = useRef(value);
  const changeLater = useDebouncedCallback((next: string) => {
    asked.current = next;
    change(next);
  }, TYPING_MS);
  useEffect(() => {
    if (value === asked.current) return;
    asked.current = value;
    setText(value);
  }, [value]);
  return (
    <TextInput
      label={label}
      size="sm"
      type="search"
      maxLength={SEARCH_CHARS}
      value={text}
      {...(placeholder ? { placeholder } : {})}
      onChange={(event) => {
        setText(event.currentTarget.value);
        changeLater(event.currentTarget.value.trim());
      }}
    />
  );
}
