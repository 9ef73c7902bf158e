/* A fake VA-API driver: it lists profiles and entry points, and every other call fails. */
#include <va/va.h>
#include <va/va_backend.h>

static VAStatus terminate(VADriverContextP context) { (void)context; return VA_STATUS_SUCCESS; }

static VAStatus profiles(VADriverContextP context, VAProfile *list, int *count) {
    (void)context;
    list[0] = VAProfileH264High;
    list[1] = VAProfileHEVCMain;
    list[2] = VAProfileMPEG2Main;
    *count = 3;
    return VA_STATUS_SUCCESS;
}

static VAStatus entrypoints(VADriverContextP context, VAProfile profile, VAEntrypoint *list,
                            int *count) {
    (void)context;
    /* It only decodes MPEG-2, and encodes the others. */
    list[0] = profile == VAProfileMPEG2Main ? VAEntrypointVLD : VAEntrypointEncSlice;
    *count = 1;
    return VA_STATUS_SUCCESS;
}

static VAStatus none(void) { return VA_STATUS_ERROR_UNIMPLEMENTED; }

VAStatus __vaDriverInit_1_0(VADriverContextP context) {
    void **entry = (void **)context->vtable;
    for (unsigned n = 0; n < sizeof(struct VADriverVTable) / sizeof(void *); n++)
        entry[n] = (void *)none;
    context->version_major = 1;
    context->version_minor = 0;
    context->max_profiles = 3;
    context->max_entrypoints = 1;
    context->max_attributes = 1;
    context->max_image_formats = 1;
    context->max_subpic_formats = 1;
    context->max_display_attributes = 1;
    context->str_vendor = "a driver made for a test";
    context->vtable->vaTerminate = terminate;
    context->vtable->vaQueryConfigProfiles = profiles;
    context->vtable->vaQueryConfigEntrypoints = entrypoints;
    return VA_STATUS_SUCCESS;
}
