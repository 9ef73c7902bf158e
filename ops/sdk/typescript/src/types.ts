import type { components, paths } from "./schema.js";

/** The schemas of the API by name, such as `Schemas["Job"]`. */
export type Schemas = components["schemas"];

/** The methods of the API. */
export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** A path without the prefix that all paths share. */
type Short<P> = P extends `/api/v1${infer Rest}` ? Rest : never;

/** The paths that have a method, as they are written in the documentation: `/jobs/{id}`. */
export type PathOf<M extends Method> = {
  [P in keyof paths]: paths[P] extends { [K in Lowercase<M>]: object } ? Short<P> : never;
}[keyof paths];

/** The operation of a method and a path. */
export type Operation<M extends Method, P extends string> = `/api/v1${P}` extends infer Full extends
  keyof paths
  ? Lowercase<M> extends keyof paths[Full]
    ? paths[Full][Lowercase<M>]
    : never
  : never;

type Parameters<Op, In extends string> = Op extends { parameters: { [K in In]?: infer T } }
  ? Exclude<T, undefined>
  : never;

/** A field of the options: required if any part of it is. */
type Field<Name extends string, T> = [T] extends [never]
  ? object
  : object extends T
    ? { [K in Name]?: T }
    : { [K in Name]: T };

/** The JSON body of an operation. */
type Body<Op> = Op extends { requestBody?: infer B }
  ? [Exclude<B, undefined>] extends [never]
    ? object
    : Exclude<B, undefined> extends { content: { "application/json": infer Json } }
      ? undefined extends B
        ? { body?: Json }
        : { body: Json }
      : object
  : object;

/** What a request has besides its method and path. */
export type Options<Op> = Field<"path", Parameters<Op, "path">> &
  Field<"query", Parameters<Op, "query">> &
  Field<"headers", Parameters<Op, "header">> &
  Body<Op> & {
    /** Aborts the request. */
    signal?: AbortSignal;
  };

/** The options of a call, which may be left out if none of them is required. */
export type OptionsArgument<Op> =
  object extends Options<Op> ? [options?: Options<Op>] : [options: Options<Op>];

type Json<R> = R extends { content: { "application/json": infer T } } ? T : never;

/** The JSON of a successful response. */
export type Result<Op> = Op extends { responses: infer R }
  ? { [Status in keyof R]: Status extends 200 | 201 | 202 ? Json<R[Status]> : never }[keyof R]
  : never;

type Query<P extends string> = Parameters<Operation<"GET", P>, "query">;

/** The paths of lists that have pages. */
export type PagedPath = {
  [P in PathOf<"GET">]: [Query<P>] extends [never] ? never : "cursor" extends keyof Query<P> ? P : never;
}[PathOf<"GET">];

/** The query of a list, apart from the cursor. */
export type ListQuery<P extends string> = Omit<Query<P>, "cursor">;

/** An entry of a list. */
export type Entry<P extends string> =
  Result<Operation<"GET", P>> extends { data: (infer T)[] } ? T : never;
