#include "host/libvirt/statistics.h"

#include <stdint.h>

static json_t *whole(unsigned long long number)
{
    return json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number);
}

static json_t *value_json(const virTypedParameter *param)
{
    switch (param->type) {
    case VIR_TYPED_PARAM_INT:
        return json_integer(param->value.i);
    case VIR_TYPED_PARAM_UINT:
        return json_integer(param->value.ui);
    case VIR_TYPED_PARAM_LLONG:
        return json_integer(param->value.l);
    case VIR_TYPED_PARAM_ULLONG:
        return whole(param->value.ul);
    case VIR_TYPED_PARAM_BOOLEAN:
        return json_boolean(param->value.b);
    case VIR_TYPED_PARAM_DOUBLE:
        return json_real(param->value.d);
    case VIR_TYPED_PARAM_STRING:
        return json_string(param->value.s);
    default:
        return NULL;
    }
}

json_t *statistics_json(virTypedParameterPtr params, int count)
{
    json_t *object = json_object();
    for (int i = 0; i < count; i++) {
        json_t *value = value_json(&params[i]);
        if (value != NULL)
            json_object_set_new(object, params[i].field, value);
    }
    return object;
}
